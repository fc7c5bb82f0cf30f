"""A small application for what the large ones do without: collations, a range type, exclusion constraints."""

from common import *  # noqa: F403
from common import DJANGO

INSTALLED_APPS = ["shelf", "django.contrib.postgres", *DJANGO]
