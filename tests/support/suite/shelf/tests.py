"""Tests of every kind that Django has for a database; manage.py test runs them."""

import threading

from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, connections, transaction
from django.test import LiveServerTestCase, TestCase, TransactionTestCase
from shelf.models import Author, Book


class InATransaction(TestCase):
    databases = {"default", "other"}

    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(name="Ada")

    def test_savepoint_after_an_error(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Author.objects.create(name="Ada")
        self.assertEqual(Author.objects.count(), 1)

    def test_both_databases(self):
        Author.objects.using("other").create(name="Ada")
        self.assertEqual(Author.objects.using("other").count(), 1)

    def test_number_of_queries(self):
        with self.assertNumQueries(2):
            list(Author.objects.prefetch_related("books"))

    def test_on_commit(self):
        seen = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: seen.append(1))
        self.assertEqual(seen, [1])

    async def test_async(self):
        await Author.objects.acreate(name="Bob")
        self.assertEqual([each.name async for each in Author.objects.order_by("name")], ["Ada", "Bob"])


class Committed(TransactionTestCase):
    reset_sequences = True

    def test_keys_begin_anew(self):
        self.assertEqual(Author.objects.create(name="Ada").pk, 1)

    def test_another_thread_sees_it(self):
        Author.objects.create(name="Ada")
        counts = []

        def count():
            counts.append(Author.objects.count())
            connections.close_all()

        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
        self.assertEqual(counts, [1])

    def test_server_side_cursor(self):
        author = Author.objects.create(name="Ada")
        Book.objects.bulk_create(Book(author=author, title=str(number), price=1) for number in range(300))
        self.assertEqual(sum(1 for _ in Book.objects.iterator(chunk_size=100)), 300)

    async def test_atomic_in_a_thread(self):
        def make():
            with transaction.atomic():
                Author.objects.create(name="Ada")
                return Author.objects.select_for_update().get().name

        self.assertEqual(await sync_to_async(make)(), "Ada")

    def test_reconnects(self):
        connection.close()
        self.assertEqual(Author.objects.count(), 0)


class Served(LiveServerTestCase):
    def test_server_thread_has_a_connection(self):
        self.assertTrue(self.live_server_url.startswith("http://"))
