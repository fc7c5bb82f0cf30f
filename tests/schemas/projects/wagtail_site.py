"""A Wagtail with all of its parts."""

from common import *  # noqa: F403
from common import DJANGO

PARTS = ["contrib.forms", "contrib.redirects", "contrib.search_promotions", "embeds", "sites", "users"]
PARTS += ["snippets", "documents", "images", "search", "admin"]
INSTALLED_APPS = [*(f"wagtail.{part}" for part in PARTS), "wagtail", "modelcluster", "taggit", *DJANGO]
