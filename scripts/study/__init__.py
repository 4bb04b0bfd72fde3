"""What makes a better model of few films: recipes compared by cross-validation over patients.

    python -m scripts.study --data DIR [--other DIR] [NAME…]

Scores of films by models that never saw their patients go to the cache, and what is measured on them to
`docs/study.json` and `docs/study.md`. A recipe that is there is not run again.
"""
