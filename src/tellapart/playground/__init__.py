"""A page to try a model or two on texts: answers, words that decide, nearest training texts."""
