"""The core of pgpillar: pure values and functions, no Salt import.

``pillar`` reads what is wanted, ``catalog`` reads what is there, ``plan`` compares the two,
``sql`` writes the statements and ``execute`` runs them.
"""

__version__ = "0.1.0"
