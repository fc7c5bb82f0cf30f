from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.contrib.postgres.operations import CreateCollation
from django.db import migrations, models

RANGE = "CREATE TYPE pages AS RANGE (subtype = int4, multirange_type_name = chapters)"


class Migration(migrations.Migration):
    initial = True
    operations = [
        CreateCollation("natural_sort", provider="icu", locale="und-u-kn-true"),
        CreateCollation("case_insensitive", provider="icu", locale="und-u-ks-level2", deterministic=False),
        migrations.RunSQL(RANGE, "DROP TYPE pages"),
        migrations.CreateModel(
            "Book",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=200, db_collation="natural_sort")),
                ("isbn", models.TextField(unique=True, db_collation="case_insensitive")),
            ],
        ),
        migrations.CreateModel(
            "Loan",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("book", models.ForeignKey("shelf.Book", models.CASCADE)),
                ("during", DateTimeRangeField()),
            ],
        ),
        migrations.AddConstraint(
            "Loan",
            ExclusionConstraint(
                name="one_at_a_time",
                expressions=[("book", RangeOperators.EQUAL), ("during", RangeOperators.OVERLAPS)],
            ),
        ),
    ]
