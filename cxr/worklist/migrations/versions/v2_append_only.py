"""The audit trail can only be appended to: the database itself refuses everything else.

A line has to go on with the chain, so that two programs that append at once can't both follow the same line; this also
stands against SQLite's INSERT OR REPLACE, whose deletion of the old row would fire no trigger.
"""

from alembic import op

revision = "v2_append_only"
down_revision = "v1_worklist"

REFUSED = "The audit trail can only be appended to."
BROKEN = "A line of the audit trail has to follow the last one."
LAST = "(SELECT coalesce(max(number), 0) FROM audit)"
DIGEST = "coalesce((SELECT digest FROM audit ORDER BY number DESC LIMIT 1), '" + 64 * "0" + "')"


def upgrade() -> None:
    """Make the triggers."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{action.lower()} BEFORE {action} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
            )
        op.execute(
            "CREATE TRIGGER audit_in_order BEFORE INSERT ON audit "
            f"WHEN NEW.number <> {LAST} + 1 OR NEW.previous <> {DIGEST} "
            f"BEGIN SELECT RAISE(ABORT, '{BROKEN}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
    )
    op.execute(
        "CREATE FUNCTION audit_follow() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF NEW.number <> {LAST} + 1 OR NEW.previous <> {DIGEST} THEN "
        f"RAISE EXCEPTION '{BROKEN}' USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER audit_in_order BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_follow()")
