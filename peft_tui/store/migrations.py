"""The layout of the store: named steps, each applied once, in order, and written down by name."""

from __future__ import annotations

import aiosqlite

from peft_tui.domain.errors import NotUsable

MIGRATIONS: dict[str, str] = {
    "first layout": """
        CREATE TABLE clockwork (revision INTEGER NOT NULL);
        INSERT INTO clockwork VALUES (0);

        -- status … model are the last observation; `listed` says that the platform's last list had it, and
        -- then platforms.listed_at is when it was observed: an unchanged row costs no write.
        CREATE TABLE deployments (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            platform TEXT NOT NULL,
            account TEXT NOT NULL,
            origin TEXT NOT NULL,
            source_kind TEXT NOT NULL,
            source_reference TEXT NOT NULL,
            base_model TEXT NOT NULL,
            settings TEXT NOT NULL,
            remote_name TEXT NOT NULL,
            remote_id TEXT NOT NULL,
            created_at TEXT NOT NULL,
            status TEXT,
            condition TEXT,
            platform_status TEXT,
            reason TEXT,
            ready_instances INTEGER,
            billed_instances INTEGER,
            min_instances INTEGER,
            max_instances INTEGER,
            instance_type TEXT,
            usd_per_hour TEXT,
            endpoint_url TEXT,
            model TEXT,
            observed_at TEXT,
            since TEXT,
            listed INTEGER NOT NULL DEFAULT 0,
            revision INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX deployments_by_remote_name ON deployments (platform, account, remote_name);
        CREATE INDEX deployments_by_revision ON deployments (revision);

        CREATE TABLE observations (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            observed_at TEXT NOT NULL,
            status TEXT NOT NULL,
            condition TEXT NOT NULL,
            platform_status TEXT NOT NULL,
            reason TEXT NOT NULL,
            ready_instances INTEGER,
            min_instances INTEGER,
            max_instances INTEGER,
            instance_type TEXT NOT NULL
        );
        CREATE INDEX observations_by_deployment ON observations (deployment_id, observed_at);

        CREATE TABLE operations (
            id TEXT PRIMARY KEY,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            error TEXT
        );
        CREATE INDEX operations_by_deployment ON operations (deployment_id, created_at);

        CREATE TABLE operation_steps (
            operation_id TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
            seq INTEGER NOT NULL,
            key TEXT NOT NULL,
            title TEXT NOT NULL,
            state TEXT NOT NULL,
            bills INTEGER NOT NULL,
            started_at TEXT,
            finished_at TEXT,
            outputs TEXT NOT NULL,
            done INTEGER,
            total INTEGER,
            note TEXT NOT NULL,
            PRIMARY KEY (operation_id, seq)
        );

        CREATE TABLE platforms (
            platform TEXT PRIMARY KEY,
            listed_at TEXT,
            failing_since TEXT,
            error TEXT,
            revision INTEGER NOT NULL
        );
        CREATE INDEX platforms_by_revision ON platforms (revision);

        CREATE TABLE catalog (
            platform TEXT NOT NULL,
            topic TEXT NOT NULL,
            subject TEXT NOT NULL,
            fetched_at TEXT NOT NULL,
            value TEXT,
            error TEXT,
            revision INTEGER NOT NULL,
            PRIMARY KEY (platform, topic, subject)
        );
        CREATE INDEX catalog_by_revision ON catalog (revision);
    """,
    "the whole life": """
        -- `changes` is what an update or a start makes different, JSON; `given_up` stops it where it is.
        ALTER TABLE operations ADD COLUMN changes TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE operations ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
        -- The last bounds that were not those of a stopped one; what was deleted from here is not shown.
        ALTER TABLE deployments ADD COLUMN start_min INTEGER;
        ALTER TABLE deployments ADD COLUMN start_max INTEGER;
        ALTER TABLE deployments ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
        UPDATE deployments SET start_min = min_instances, start_max = max_instances WHERE max_instances > 0;
    """,
    "requests": """
        -- One row for each exchange, written when it has ended and not changed afterwards but for `hidden`:
        -- figures by the minute are folded from it in the order of id. Text stands elsewhere, so that it can
        -- be left out and deleted.
        CREATE TABLE requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            at TEXT NOT NULL,
            source TEXT NOT NULL,
            run_id TEXT NOT NULL,
            model TEXT NOT NULL,
            role TEXT NOT NULL,
            parameters TEXT NOT NULL,
            streamed INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            status INTEGER,
            error_kind TEXT,
            error TEXT,
            reason TEXT NOT NULL,
            remote_id TEXT NOT NULL,
            cold INTEGER,
            wait_s REAL,
            connect_s REAL,
            ttft_s REAL,
            latency_s REAL,
            queue_s REAL,
            run_s REAL,
            tokens_in INTEGER,
            tokens_out INTEGER,
            tokens_cached INTEGER,
            tokens_source TEXT NOT NULL,
            cost_usd TEXT,
            cost_basis TEXT NOT NULL,
            cost_source TEXT NOT NULL,
            hidden INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX requests_by_deployment ON requests (deployment_id, at);
        CREATE INDEX requests_by_run ON requests (run_id) WHERE run_id <> '';

        CREATE TABLE request_texts (
            request_id INTEGER PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
            prompt TEXT NOT NULL,
            system TEXT NOT NULL,
            stop TEXT NOT NULL,
            thoughts TEXT NOT NULL,
            response TEXT NOT NULL,
            raw TEXT NOT NULL
        );
    """,
    "views": """
        -- How a screen was left, JSON: nobody else waits for it, so it has no revision.
        CREATE TABLE views (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    "figures": """
        -- What requests come to, in cells of 60, 600, 3600, 86400 seconds and, as 0, of all time. `busy` has
        -- a bit for each second of a minute. figure_sources says up to which row it was folded.
        CREATE TABLE figure_cells (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            source TEXT NOT NULL,
            seconds INTEGER NOT NULL,
            start INTEGER NOT NULL,
            busy INTEGER NOT NULL,
            cell TEXT NOT NULL,
            PRIMARY KEY (deployment_id, source, seconds, start)
        ) WITHOUT ROWID;
        CREATE INDEX figure_cells_by_age ON figure_cells (seconds, start);
        CREATE TABLE figure_sources (source TEXT PRIMARY KEY, folded INTEGER NOT NULL);
        CREATE INDEX requests_by_time ON requests (at);

        -- From when on what bills; and in which stretches of time each account was looked at.
        CREATE TABLE billing_marks (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            at TEXT NOT NULL,
            phase TEXT NOT NULL,
            instances INTEGER,
            usd_per_hour TEXT,
            PRIMARY KEY (deployment_id, at)
        ) WITHOUT ROWID;
        INSERT INTO billing_marks SELECT id, observed_at,
            CASE WHEN billed_instances = 0 THEN 'off' WHEN status IN ('pending', 'deploying') THEN 'starting'
            ELSE 'ready' END, billed_instances, usd_per_hour FROM deployments WHERE status IS NOT NULL;
        CREATE TABLE watches (
            platform TEXT NOT NULL, account TEXT NOT NULL, begin TEXT NOT NULL, until TEXT NOT NULL
        );
        CREATE INDEX watches_by_end ON watches (platform, account, until);

        -- What the platforms say themselves. A stretch of time is told again and again: the last word counts.
        CREATE TABLE readings (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            metric TEXT NOT NULL,
            seconds INTEGER NOT NULL,
            at TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (deployment_id, metric, seconds, at)
        ) WITHOUT ROWID;
        CREATE TABLE report_looks (
            deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
            source TEXT NOT NULL,
            at TEXT NOT NULL
        );
        CREATE TABLE reported_requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            remote_id TEXT NOT NULL,
            at TEXT NOT NULL,
            outcome TEXT NOT NULL,
            latency_s REAL,
            ttft_s REAL,
            tokens_in INTEGER,
            tokens_out INTEGER,
            cost_usd TEXT,
            cold INTEGER,
            error_kind TEXT,
            UNIQUE (deployment_id, remote_id)
        );
        CREATE INDEX reported_requests_by_time ON reported_requests (deployment_id, at);
    """,
    "platform clocks": """
        ALTER TABLE platforms ADD COLUMN ahead_s REAL;
    """,
    "gaps and budgets": """
        -- The seconds between the pieces of a streamed answer, as buckets in JSON.
        ALTER TABLE requests ADD COLUMN gaps TEXT;
        CREATE TABLE budgets (
            platform TEXT NOT NULL,
            account TEXT NOT NULL,
            used_usd TEXT NOT NULL,
            limit_usd TEXT NOT NULL,
            at TEXT NOT NULL,
            PRIMARY KEY (platform, account)
        ) WITHOUT ROWID;
    """,
    "where a price comes from": """
        ALTER TABLE deployments ADD COLUMN price_source TEXT NOT NULL DEFAULT '';
    """,
    "a look is of an account": """
        -- When each account's list was last read: what another account lists says nothing of it. An error is
        -- of the account that met it; empty where that is not known.
        CREATE TABLE looks (
            platform TEXT NOT NULL, account TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (platform, account)
        ) WITHOUT ROWID;
        INSERT INTO looks SELECT DISTINCT platform, account, listed_at FROM deployments JOIN platforms
            USING (platform) WHERE listed AND listed_at IS NOT NULL;
        ALTER TABLE platforms ADD COLUMN failing TEXT NOT NULL DEFAULT '';
    """,
}


async def is_behind(connection: aiosqlite.Connection) -> bool:
    """True for a store that is in use and lacks a step; not for a new one, which others may be making."""
    tables = {row[0] for row in await connection.execute_fetchall("SELECT name FROM sqlite_master")}
    if not {"migrations", "clockwork"} <= tables:
        return False
    applied = {row[0] for row in await connection.execute_fetchall("SELECT name FROM migrations")}
    used = any(row[0] for row in await connection.execute_fetchall("SELECT revision FROM clockwork"))
    return used and applied < MIGRATIONS.keys()


async def migrate(connection: aiosqlite.Connection) -> None:
    """Bring the file to the newest layout; each step is one transaction.

    Raises:
        NotUsable: the file has steps that this version does not know.
    """
    await connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT)")
    applied = {row[0] for row in await connection.execute_fetchall("SELECT name FROM migrations")}
    if unknown := applied - MIGRATIONS.keys():
        raise NotUsable(
            f"A newer peft-tui wrote the store (it has “{sorted(unknown)[0]}”). Nothing was changed.",
            hint="Upgrade peft-tui, or set PEFT_TUI_DATA_DIR to another directory.",
        )
    for name, script in MIGRATIONS.items():
        if name in applied:
            continue
        await connection.execute("BEGIN IMMEDIATE")
        try:
            # Two processes may meet a new file at once: the second finds the step done.
            rows = await connection.execute_fetchall("SELECT 1 FROM migrations WHERE name = ?", (name,))
            if not list(rows):
                for statement in script.split(";\n"):
                    if statement.strip():
                        await connection.execute(statement)
                await connection.execute("INSERT INTO migrations VALUES (?, datetime('now'))", (name,))
            await connection.execute("COMMIT")
        except BaseException:
            await connection.execute("ROLLBACK")
            raise
