"""The minimal Textual application that others are compared with: a header, a table of 100 rows, a footer."""

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Header

COLUMNS = ("name", "platform", "status", "requests", "p50", "cost", "base model", "instance")


class Baseline(App[None]):
    """Nothing of our own."""

    BINDINGS = [("q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*COLUMNS)
        table.add_rows(
            (
                f"deployment-{n}",
                "together",
                "active",
                str(n * 7),
                "212 ms",
                "$1.20",
                "Qwen/Qwen3-8B",
                "1x H100",
            )
            for n in range(100)
        )


if __name__ == "__main__":
    Baseline().run()
