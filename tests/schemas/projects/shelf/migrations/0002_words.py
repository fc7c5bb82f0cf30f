from django.contrib.postgres.operations import CreateCollation, RemoveCollation
from django.db import migrations, models

DICTIONARY = "CREATE TEXT SEARCH DICTIONARY shelf_words (TEMPLATE = simple)"
STATISTICS = "CREATE STATISTICS shelf_titles (dependencies) ON title, isbn FROM shelf_book"


class Migration(migrations.Migration):
    dependencies = [("shelf", "0001_initial")]
    operations = [
        migrations.AddField("Book", "pages", models.JSONField(default=list)),
        migrations.RunSQL("ALTER TABLE shelf_book ADD read pages", "ALTER TABLE shelf_book DROP read"),
        migrations.RunSQL(DICTIONARY, "DROP TEXT SEARCH DICTIONARY shelf_words"),
        migrations.RunSQL(STATISTICS, "DROP STATISTICS shelf_titles"),
        CreateCollation("german", provider="icu", locale="de-u-co-phonebk"),
        migrations.AlterField("Book", "title", models.CharField(max_length=200, db_collation="german")),
        RemoveCollation("natural_sort", provider="icu", locale="und-u-kn-true"),
    ]
