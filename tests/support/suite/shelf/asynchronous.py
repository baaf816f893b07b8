"""Django's asynchronous ORM, for manage.py shell: prints what it found."""

import asyncio

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import transaction
from django.db.models import Avg
from shelf.models import Author, Book


async def work() -> None:
    ada = await Author.objects.acreate(name="Async Ada")
    bob, made = await Author.objects.aget_or_create(name="Async Bob")
    await ada.friends.aadd(bob)
    await Book.objects.abulk_create([Book(author=ada, title=f"No {n}", price=n, tags=["x"]) for n in range(5)])
    print(made, await ada.friends.acount(), await ada.books.acount())
    print(
        [each.slug async for each in ada.books.filter(tags__contains=["x"]).order_by("title").aiterator(chunk_size=2)]
    )
    print(await ada.books.aaggregate(Avg("price")))
    print(await asyncio.gather(*(Book.objects.filter(price=n, author=ada).aexists() for n in range(4, 7))))
    await Book.objects.filter(author=ada).aupdate(facts={"seen": True})
    print((await ada.books.order_by("pk").afirst()).facts)
    await cache.aset("key", [1, 2])
    print(await cache.aget("key"))
    try:
        await sync_to_async(make_twice)()
    except Exception as error:
        print(type(error).__name__)
    print(await Author.objects.filter(name__startswith="Async").acount())
    print((await Author.objects.filter(name__startswith="Async").adelete())[0])


def make_twice() -> None:
    with transaction.atomic():
        Author.objects.create(name="Async Carol")
        Author.objects.create(name="Async Carol")


asyncio.run(work())
