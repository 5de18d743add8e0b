"""Experiments from before parts had faults ask about none, whatever the default is now."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the stored configs from the step before to this one."""
    table = sa.table("experiments", sa.column("id", sa.Integer), sa.column("config", sa.JSON))
    connection = op.get_bind()
    for number, config in connection.execute(sa.select(table.c.id, table.c.config)).all():
        values = json.loads(config) if isinstance(config, str) else config
        if "fault_share" not in values:
            changed = {**values, "fault_share": 0.0}
            connection.execute(table.update().where(table.c.id == number).values(config=changed))
