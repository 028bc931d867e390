"""Figures of the chapters, a module a chapter: plain functions, and explorers that put controls to them."""
