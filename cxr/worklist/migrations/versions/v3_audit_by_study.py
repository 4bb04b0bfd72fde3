"""What was done to one study is found in the audit trail without reading all of it."""

from alembic import op

revision = "v3_audit_by_study"
down_revision = "v2_append_only"


def upgrade() -> None:
    """Make the index."""
    op.create_index("audit_what", "audit", ["what"])
