"""Run by Alembic: the steps, on the connection and in the transaction that `migrate` hands over."""

from alembic import context

from cxr.worklist.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
