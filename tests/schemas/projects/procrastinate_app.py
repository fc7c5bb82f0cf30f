"""What procrastinate's command is given: an application that finds its database as libpq does."""

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector())
