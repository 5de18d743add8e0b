"""What an experiment's model and data were when it was submitted; what nobody read goes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    for table in ("experiments", "preparations"):
        op.add_column(table, sa.Column("resolved", sa.JSON(), nullable=True))
    op.add_column("workers", sa.Column("host", sa.String(255), nullable=False, server_default=""))
    with op.batch_alter_table("workers") as workers:
        workers.drop_column("heartbeat_at")
    with op.batch_alter_table("events") as events:
        events.drop_column("level")
    op.drop_table("artifacts")
