"""LiveTable: the cursor stays with its key, only what differs is repainted, all is drawn literally."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Button

from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row, fit_text, follow, lay_out

COLUMNS = (
    Column("name", "Name", 24, grow=True, minimum=8, elide="middle"),
    Column("status", "Status", 10),
    Column("requests", "Requests", 10, "right", priority=1),
    Column("cost", "Cost", 8, "right", priority=2),
    Column("base", "Base model", 24, priority=3),
)


def row(number: int, requests: int = 0, status: str = "active", tone: str = "good") -> Row:
    texts = (f"lora-{number}", status, str(requests), "$1.20", "Qwen/Qwen3-8B")
    return Row(f"k{number}", tuple(Cell(text, tone if text == status else "") for text in texts))


def rows(count: int) -> list[Row]:
    return [row(number) for number in range(count)]


class Tables(App[None]):
    """One table and something else to focus."""

    def __init__(self, content: Sequence[Row] = (), columns: Sequence[Column] = COLUMNS) -> None:
        super().__init__()
        self.table = LiveTable(columns, id="table")
        self.content = content
        self.heard: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.table
        yield Button("Other")

    def on_mount(self) -> None:
        self.table.set_rows(self.content)
        self.table.focus()

    def on_live_table_highlighted(self, message: LiveTable.Highlighted) -> None:
        assert message.control is self.table
        self.heard.append(message)

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        assert message.control is self.table
        self.heard.append(message)

    @property
    def highlighted(self) -> list[str | None]:
        return [message.key for message in self.heard if isinstance(message, LiveTable.Highlighted)]

    @property
    def chosen(self) -> list[str]:
        return [message.key for message in self.heard if isinstance(message, LiveTable.Chosen)]

    def line(self, y: int) -> str:
        return self.table.render_line(y).text.rstrip()

    def body(self) -> list[str]:
        return [self.line(y) for y in range(1, self.table.size.height)]

    @contextmanager
    def refreshed(self) -> Iterator[list[Region]]:
        """Regions of the table that are named dirty meanwhile; a refresh of the whole widget is an error."""
        regions: list[Region] = []
        original = self.table.refresh

        def spy(*named: Region, **options: bool) -> LiveTable:
            if options.get("layout"):
                return original(*named, **options)
            assert named, "the whole widget was refreshed"
            regions.extend(named)
            return original(*named, **options)

        self.table.refresh = spy  # type: ignore[method-assign]
        try:
            yield regions
        finally:
            del self.table.refresh


# What is repainted


async def test_equal_rows_refresh_nothing() -> None:
    app = Tables(rows(50))
    async with app.run_test() as pilot:
        await pilot.pause()
        with app.refreshed() as regions:
            app.table.set_rows(rows(50))
            await pilot.pause()
        assert regions == []


async def test_a_mark_repaints_its_line_and_stays_with_its_row() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.pause()
        with app.refreshed() as regions:
            app.table.mark({"k2"})
            await pilot.pause()
        assert [region.y for region in regions] == [3]
        assert app.line(3).startswith(" ✓lora-2") and app.line(1).startswith("▸ lora-0")
        app.table.set_rows(list(reversed(rows(10))))
        await pilot.pause()
        assert app.line(8).startswith(" ✓lora-2")
        app.table.mark(())
        assert not any("✓" in line for line in app.body())


async def test_a_text_that_has_not_the_room_gives_way_to_its_short_form() -> None:
    columns = [Column("a", "A", 24, minimum=8), Column("b", "B", 8)]
    words = Cell("stopping, still billing", "warn", "stopping, bills")
    app = Tables([Row("a", (words, Cell("x")))], columns)
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        assert "stopping, still billing" in app.line(1)
        await pilot.resize_terminal(34, 10)
        await pilot.pause()
        assert "stopping, bills" in app.line(1) and "…" not in app.line(1)


async def test_one_changed_cell_refreshes_its_columns_on_its_line() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.pause()
        new = rows(10)
        new[3] = row(3, requests=7)
        with app.refreshed() as regions:
            app.table.set_rows(new)
        slot = app.table._slots[2]
        assert len(regions) == 1
        assert (regions[0].x, regions[0].y, regions[0].height) == (slot.start, 4, 1)
        assert slot.width <= regions[0].width <= slot.width + 2
        assert "7" in app.line(4)


async def test_a_changed_tone_alone_is_repainted() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.pause()
        new = rows(10)
        new[3] = row(3, tone="bad")
        with app.refreshed() as regions:
            app.table.set_rows(new)
        assert [region.y for region in regions] == [4]


async def test_what_changes_out_of_sight_refreshes_nothing() -> None:
    app = Tables(rows(100))
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause()
        assert "cost" not in app.table.shown_columns
        new = rows(100)
        new[90] = row(90, requests=7)
        new[2] = Row("k2", (*new[2].cells[:3], Cell("$9.99"), new[2].cells[4]))
        with app.refreshed() as regions:
            app.table.set_rows(new)
        assert regions == []
        await pilot.resize_terminal(100, 24)
        await pilot.pause()
        assert "$9.99" in app.line(3)


async def test_moving_the_cursor_refreshes_two_lines() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.pause()
        with app.refreshed() as regions:
            await pilot.press("j")
        assert sorted(region.y for region in regions) == [1, 2]


async def test_ten_thousand_rows_without_news_refresh_nothing() -> None:
    app = Tables(rows(10_000))
    async with app.run_test() as pilot:
        await pilot.pause()
        app.table.action_last()
        await pilot.pause()
        with app.refreshed() as regions:
            app.table.set_rows(rows(10_000))
            await pilot.pause()
        assert regions == []
        assert app.table.cursor_key == "k9999"


async def test_rows_that_slide_up_above_the_view_refresh_nothing_in_it() -> None:
    app = Tables(rows(100))
    async with app.run_test() as pilot:
        await pilot.pause()
        app.table.move_to("k60")
        await pilot.pause()
        before, top = app.body(), app.table.scroll_offset.y
        with app.refreshed() as regions:
            app.table.set_rows(rows(100)[1:])
            await pilot.pause()
        assert regions == []
        assert app.body() == before
        assert app.table.scroll_offset.y == top - 1
        assert app.table.cursor_key == "k60"


async def test_rows_that_come_and_go_draw_and_clear_their_lines() -> None:
    app = Tables(rows(3))
    async with app.run_test() as pilot:
        await pilot.pause()
        for count in (5, 2, 0, 4):
            with app.refreshed():
                app.table.set_rows(rows(count))
                await pilot.pause()
            assert len([line for line in app.body() if line]) == count
            painted = [strip.text for strip in app.screen._compositor.render_strips()]
            assert len([line for line in painted if "lora" in line]) == count


async def test_the_view_reaches_the_last_row_however_many_came_or_went() -> None:
    app = Tables(rows(100))
    async with app.run_test() as pilot:
        await pilot.pause()
        height = app.table.size.height - 1
        for count in (150, 60, height, height + 1, 5):
            with app.refreshed():
                app.table.set_rows(rows(count))
                await pilot.press("g", "G")
            await pilot.pause()
            assert app.body()[min(count, height) - 1].startswith(f"▸ lora-{count - 1}")
            assert app.table.show_vertical_scrollbar == (count > height)
            assert app.table.max_scroll_y == max(0, count - height)


async def test_a_hidden_table_shows_what_it_was_told_meanwhile() -> None:
    app = Tables(rows(100))
    async with app.run_test() as pilot:
        await pilot.press("j")
        app.table.display = False
        await pilot.pause()
        app.table.set_rows([row(number, requests=5) for number in range(100)][::-1])
        app.table.set_rows([row(number, requests=6) for number in range(100)][::-1])
        app.table.display = True
        await pilot.pause()
        await pilot.pause()
        assert app.table.cursor_key == "k1"
        painted = [strip.text for strip in app.screen._compositor.render_strips()]
        assert any("▸ lora-1 " in line and " 6 " in line for line in painted)
        assert not any(" 0 " in line or " 5 " in line for line in painted)


async def test_the_row_under_the_cursor_repaints_only_its_cell() -> None:
    app = Tables(rows(3))
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.pause()
        with app.refreshed() as regions:
            app.table.set_rows([row(0, requests=4), *rows(3)[1:]])
        assert len(regions) == 1 and regions[0].width < 20


def test_rows_and_cursor_may_be_set_before_there_is_an_application() -> None:
    table = LiveTable(COLUMNS)
    table.set_rows(rows(100))
    assert table.move_to("k70")
    assert table.cursor_key == "k70"


async def test_a_cursor_set_before_the_first_layout_is_in_view_after_it() -> None:
    app = Tables()
    app.table.set_rows(rows(100))
    app.table.move_to("k70")
    app.content = rows(100)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert any(line.startswith("▸ lora-70") for line in app.body())


# The cursor


async def test_the_cursor_stays_with_its_key_when_rows_are_reordered() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.press("j", "j", "j")
        app.table.set_rows(rows(10)[::-1])
        assert app.table.cursor_key == "k3"
        assert app.line(7).startswith("▸ lora-3")
        app.table.set_rows([row(99), *rows(10)])
        await pilot.pause()
        assert app.table.cursor_key == "k3"
        assert app.highlighted == ["k0", "k1", "k2", "k3"]


@pytest.mark.parametrize(
    ("gone", "key"),
    [({3}, "k4"), ({9}, "k3"), ({3, 4}, "k2"), ({3, 4, 2}, "k5"), (set(range(10)), None)],
)
async def test_a_vanished_row_leaves_the_cursor_to_its_nearest_neighbour(
    gone: set[int], key: str | None
) -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.press("j", "j", "j")
        app.table.set_rows([row(number) for number in range(10) if number not in gone])
        await pilot.pause()
        assert app.table.cursor_key == key
        assert app.highlighted[-1] == key


async def test_the_last_row_vanishing_moves_the_cursor_up() -> None:
    app = Tables(rows(10))
    async with app.run_test() as pilot:
        await pilot.press("G")
        app.table.set_rows(rows(9))
        assert app.table.cursor_key == "k8"


async def test_the_cursor_keeps_its_line_of_the_screen_when_the_order_changes() -> None:
    app = Tables(rows(200))
    async with app.run_test() as pilot:
        await pilot.pause()
        app.table.move_to("k80")
        await pilot.press("k", "k", "k")
        line = [line.startswith("▸") for line in app.body()].index(True)
        app.table.set_rows(rows(200)[::-1])
        await pilot.pause()
        assert app.table.cursor_key == "k77"
        assert app.body()[line].startswith("▸ lora-77")


async def test_a_view_scrolled_away_from_the_cursor_stays_where_it_is() -> None:
    app = Tables(rows(200))
    async with app.run_test() as pilot:
        await pilot.pause()
        app.table.scroll_to(y=100, animate=False)
        await pilot.pause()
        app.table.set_rows(rows(200)[10:])
        await pilot.pause()
        assert "lora-100" in app.line(1)
        assert app.table.cursor_key == "k10"


async def test_at_the_top_a_new_first_row_is_seen() -> None:
    app = Tables(rows(100))
    async with app.run_test() as pilot:
        await pilot.pause()
        app.table.set_rows([row(999), *rows(100)])
        await pilot.pause()
        assert "lora-999" in app.line(1)
        assert app.table.cursor_key == "k0"


async def test_keys_move_the_cursor() -> None:
    app = Tables(rows(100))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        page = app.table.size.height - 1
        for key, number in {
            "j": 1,
            "down": 2,
            "k": 1,
            "up": 0,
            "pagedown": page,
            "pageup": 0,
            "ctrl+d": page // 2,
            "ctrl+u": 0,
            "G": 99,
            "g": 0,
            "end": 99,
            "home": 0,
        }.items():
            await pilot.press(key)
            assert app.table.cursor_key == f"k{number}", key
            assert app.body()[number - app.table.scroll_offset.y].startswith("▸"), key
        await pilot.press("k", "enter")
        assert app.table.cursor_key == "k0"
        assert app.chosen == ["k0"]


async def test_keys_do_nothing_in_an_empty_table() -> None:
    app = Tables()
    async with app.run_test() as pilot:
        await pilot.press("j", "G", "pagedown", "enter")
        assert app.table.cursor_key is None
        assert app.heard == []
        assert not app.table.move_to("k1")


async def test_the_mouse_selects_scrolls_and_chooses() -> None:
    app = Tables(rows(100))
    async with app.run_test() as pilot:
        await pilot.pause()
        await pilot.click(LiveTable, offset=(5, 0))
        assert app.table.cursor_key == "k0"
        await pilot.click(LiveTable, offset=(5, 4))
        assert (app.table.cursor_key, app.chosen) == ("k3", [])
        await _wheel(pilot, app.table)
        top = app.table.scroll_offset.y
        assert top > 0 and app.table.cursor_key == "k3"
        await pilot.double_click(LiveTable, offset=(5, 6))
        assert app.table.cursor_key == f"k{top + 5}"
        assert app.chosen == [f"k{top + 5}"]


async def _wheel(pilot: Pilot[None], table: LiveTable) -> None:
    from textual.events import MouseScrollDown

    await pilot._post_mouse_events([MouseScrollDown], LiveTable, offset=(5, 5))
    await pilot.pause()


async def test_a_click_on_nothing_moves_nothing() -> None:
    app = Tables(rows(2))
    async with app.run_test() as pilot:
        await pilot.click(LiveTable, offset=(5, 9))
        assert app.table.cursor_key == "k0"


async def test_the_marker_stays_when_the_focus_goes() -> None:
    app = Tables(rows(3))
    async with app.run_test() as pilot:
        await pilot.pause()
        focused = list(app.table.render_line(1))[0].style
        assert focused is not None and focused.bold
        await pilot.press("tab")
        await pilot.pause()
        blurred = list(app.table.render_line(1))[0].style
        assert app.line(1).startswith("▸ lora-0")
        assert blurred is not None and blurred.bgcolor != focused.bgcolor and not blurred.bold


# The width


@pytest.mark.parametrize(
    ("width", "keys"),
    [
        (60, ("name", "status", "requests")),
        (80, ("name", "status", "requests", "cost")),
        (140, ("name", "status", "requests", "cost", "base")),
        (30, ("name", "status")),
        (20, ("name", "status")),
    ],
)
async def test_columns_leave_by_priority(width: int, keys: tuple[str, ...]) -> None:
    app = Tables(rows(3))
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        assert app.table.shown_columns == keys
        assert cell_len(app.table.render_line(1).text) == width - 1


async def test_columns_come_back_when_the_window_grows() -> None:
    app = Tables(rows(3))
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause()
        assert app.table.shown_columns == ("name", "status", "requests")
        await pilot.resize_terminal(100, 24)
        await pilot.pause()
        assert app.table.shown_columns == tuple(column.key for column in COLUMNS)
        assert "Base model" in app.line(0)


async def test_the_cursor_stays_in_view_when_the_window_gets_lower() -> None:
    app = Tables(rows(100))
    async with app.run_test(size=(80, 30)) as pilot:
        await pilot.pause()
        app.table.move_to("k20")
        await pilot.resize_terminal(80, 12)
        await pilot.pause()
        assert any(line.startswith("▸ lora-20") for line in app.body())


def test_spare_width_is_shared_and_lack_is_taken_from_the_widest() -> None:
    columns = [Column("a", "", 10, grow=True), Column("b", "", 10, grow=True, minimum=9), Column("c", "", 3)]
    assert [slot.width for slot in lay_out(columns, 34)] == [13, 12, 3]
    assert [slot.width for slot in lay_out(columns, 26)] == [8, 9, 3]
    assert [slot.width for slot in lay_out(columns, 5)] == [4, 9, 3]
    assert [slot.start for slot in lay_out(columns, 34)] == [2, 17, 31]
    assert lay_out([], 80) == ()
    assert lay_out([Column("a", "", 10, priority=1)], 5) == ()


# Texts


@pytest.mark.parametrize(
    ("text", "width", "align", "elide", "fitted"),
    [
        ("abc", 5, "left", "end", "abc  "),
        ("abc", 5, "right", "end", "  abc"),
        ("abcdef", 5, "left", "end", "abcd…"),
        ("abc def", 5, "left", "end", "abc… "),
        ("abcdefgh", 5, "left", "middle", "ab…gh"),
        ("abcdefgh", 6, "left", "middle", "abc…gh"),
        ("漢字漢字", 8, "left", "end", "漢字漢字"),
        ("漢字漢字", 7, "left", "end", "漢字漢…"),
        ("漢字漢字", 6, "left", "end", "漢字… "),
        ("漢字漢字", 6, "right", "middle", " 漢…字"),
        ("e\u0301te\u0301", 4, "left", "end", "e\u0301te\u0301 "),
        ("e\u0301te\u0301x", 3, "left", "end", "e\u0301t…"),
        ("", 2, "left", "end", "  "),
        ("abc", 1, "left", "end", "…"),
        ("a\x1b[31mb\nc", 12, "left", "end", "a [31mb c   "),
        ("\ud800x", 2, "left", "end", " x"),
    ],
)
def test_a_text_is_fitted_to_its_cells(text: str, width: int, align: str, elide: str, fitted: str) -> None:
    assert fit_text(text, width, align, elide) == fitted
    assert cell_len(fitted) == width


@pytest.mark.parametrize("text", ["[/x]", "[red]", "[@click=app.quit]x[/]", "\\[b]", "[link=x]"])
async def test_what_looks_like_markup_is_drawn_literally(text: str) -> None:
    app = Tables([Row("a", (Cell(text), Cell(text, "warn")))], [Column("a", text, 24), Column("b", "B", 24)])
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.line(1).split() == ["▸", *text.split(), *text.split()]
        assert text in app.line(0)


async def test_wide_characters_keep_the_columns_in_line() -> None:
    wide = Row("w", (Cell("模型适配器模型适配器模型适配器模型"), *row(1).cells[1:]))
    app = Tables([row(1), wide, row(2)])
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        lines = [app.table.render_line(y).text for y in (1, 2, 3)]
        assert len({cell_len(line) for line in lines}) == 1
        assert len({cell_len(line[: line.index("active")]) for line in lines}) == 1


async def test_one_segment_per_run_of_equal_tone() -> None:
    app = Tables(rows(3))
    async with app.run_test(size=(100, 10)) as pilot:
        await pilot.pause()
        assert len(list(app.table.render_line(1))) == 1
        assert len(list(app.table.render_line(2))) == 3
        assert len(list(app.table.render_line(0))) == 1


async def test_an_unknown_tone_is_plain() -> None:
    app = Tables([row(1), row(2, tone="nobody")])
    async with app.run_test() as pilot:
        await pilot.pause()
        assert len(list(app.table.render_line(2))) <= 3


# The header


async def test_the_header_stays_and_marks_the_sort() -> None:
    app = Tables(rows(100))
    async with app.run_test(size=(100, 10)) as pilot:
        await pilot.press("G")
        assert app.line(0).split() == ["Name", "Status", "Requests", "Cost", "Base", "model"]
        with app.refreshed() as regions:
            app.table.sort = ("requests", True)
            await pilot.pause()
        assert [(region.y, region.height) for region in regions] == [(0, 1)]
        assert "Requests ▼" in app.line(0)
        app.table.sort = ("name", False)
        assert "Name ▲" in app.line(0) and "▼" not in app.line(0)
        app.table.ascii_only = True
        assert "Name ^" in app.line(0)
        assert any(line.startswith("> lora-99") for line in app.body())
        assert all(line.isascii() for line in [app.line(0), *app.body()])
        app.table.sort = None
        assert "^" not in app.line(0)


async def test_a_theme_change_is_seen() -> None:
    app = Tables(rows(3))
    async with app.run_test() as pilot:
        await pilot.pause()
        dark = app.table.render_line(2)
        app.theme = "textual-light"
        await pilot.pause()
        assert list(app.table.render_line(2)) != list(dark)


def test_follow_finds_the_key_or_a_neighbour() -> None:
    old = rows(5)
    assert follow(old, old[::-1], 1) == 3
    assert follow([], old, -1) == 0
    assert follow(old, [], 2) == -1
    assert follow(old, [row(77)], 4) == 0
