"""The verbs that both faces call: write an intent, read an answer. None of them waits for a platform."""
