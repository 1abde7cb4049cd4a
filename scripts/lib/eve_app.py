"""Eve, REST over MongoDB, as scripts/bench.sh compares Rideshare with it: one collection, no extras."""

import os

from eve import Eve

SETTINGS = {
    "MONGO_URI": os.environ["EVE_MONGODB_URL"],
    "RENDERERS": ["eve.render.JSONRenderer"],
    "RESOURCE_METHODS": ["GET", "POST", "DELETE"],
    "ITEM_METHODS": ["GET"],
    "IF_MATCH": False,
    "DOMAIN": {
        "rideshare_bench": {
            "schema": {"_id": {"type": "string"}, "text": {"type": "string"}},
            "item_url": 'regex("[-0-9a-f]+")',
        }
    },
}

app = Eve(settings=SETTINGS)
