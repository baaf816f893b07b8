"""A package's own test settings, with DATABASES on the server under test. AZPG_LAB is a file that says which.

It runs among a package's own tests, so it imports nothing of this project.
"""

import importlib
import json
import os

with open(os.environ["AZPG_LAB"], encoding="utf-8") as _file:
    _lab = json.load(_file)
_own = vars(importlib.import_module(_lab["settings"]))
globals().update({_key: _value for _key, _value in _own.items() if _key.isupper()})
_added = {_alias: {"NAME": _name} for _alias, _name in _lab["databases"].items()}
DATABASES = {**_own["DATABASES"], **_added}
for _each in DATABASES.values():
    _each.update({_key: _value for _key, _value in _lab["database"].items() if _key not in ("NAME", "OPTIONS")})
    _each["OPTIONS"] = {**_each.get("OPTIONS", {}), **_lab["database"]["OPTIONS"]}
globals().update(_lab["overrides"])
