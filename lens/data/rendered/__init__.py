"""A procedural catalogue of shoes: designs drawn from a seed, photographed in several views."""

from lens.data.rendered.captions import captions
from lens.data.rendered.designs import CATEGORIES, ShoeDesign, design
from lens.data.rendered.render import render
from lens.data.rendered.writing import VERSION, write_catalogue

__all__ = ["CATEGORIES", "VERSION", "ShoeDesign", "captions", "design", "render", "write_catalogue"]
