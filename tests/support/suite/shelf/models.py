"""Models with the kinds of columns, keys and indexes that PostgreSQL has and other databases don't."""

from django.contrib.postgres.fields import ArrayField, DateRangeField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower


class Author(models.Model):
    name = models.CharField(max_length=80, unique=True)
    key = models.UUIDField(null=True)
    friends = models.ManyToManyField("self", blank=True)


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.TextField(db_comment="as on the cover")
    tags = ArrayField(models.CharField(max_length=20), default=list)
    facts = models.JSONField(default=dict)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    cover = models.BinaryField(null=True)
    lent = DateRangeField(null=True)
    at = models.DateTimeField(null=True)
    slug = models.GeneratedField(expression=Lower("title"), output_field=models.TextField(), db_persist=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(price__gte=0), name="price_is_not_negative")]
        indexes = [GinIndex(fields=["tags"], name="book_tags"), models.Index(Lower("title"), name="book_title")]
