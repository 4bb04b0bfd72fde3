"""A reader says which way round the grey scale of a film is."""

import sqlalchemy as sa
from alembic import op

revision = "v5_grey_scale"
down_revision = "v4_scope"


def upgrade() -> None:
    """Add the column; so far the scope check alone has decided."""
    with op.batch_alter_table("film") as film:
        film.add_column(sa.Column("grey_said", sa.Boolean(), nullable=True))
