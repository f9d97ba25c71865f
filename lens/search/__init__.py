"""Queries of images, texts and items, put to one index or several."""

from lens.search.agreement import Agreement, agreement
from lens.search.bands import Bands, make_bands, read_bands
from lens.search.embedder import Embedder
from lens.search.groups import Group, learn, load_group, save_group
from lens.search.query import Query, Term
from lens.search.searcher import Answer, Result, Searcher
from lens.search.several import search_several

__all__ = [
    "Agreement",
    "Answer",
    "Bands",
    "Embedder",
    "Group",
    "Query",
    "Result",
    "Searcher",
    "Term",
    "agreement",
    "learn",
    "load_group",
    "make_bands",
    "read_bands",
    "save_group",
    "search_several",
]
