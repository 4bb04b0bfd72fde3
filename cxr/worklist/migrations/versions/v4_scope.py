"""What the scope check said of a film, and how a reader says that it has to be seen."""

import sqlalchemy as sa
from alembic import op

revision = "v4_scope"
down_revision = "v3_audit_by_study"


def upgrade() -> None:
    """Add the columns; films that were refused before were so because of their files, whatever the model."""
    with op.batch_alter_table("film") as film:
        film.add_column(sa.Column("refused_as", sa.String(length=24), nullable=True))
        film.add_column(sa.Column("refused_by", sa.String(length=64), nullable=True))
        film.add_column(sa.Column("turn", sa.String(length=16), nullable=True))
        film.add_column(sa.Column("seems", sa.String(length=16), nullable=True))
        film.add_column(sa.Column("inverted", sa.Boolean(), nullable=True))
