"""What the Django projects here have in common: libpq's environment variables lead to the database."""

import os

SECRET_KEY = "made up for tests"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
USE_TZ = True
DJANGO = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
