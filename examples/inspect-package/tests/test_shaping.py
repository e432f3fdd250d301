import unittest

from tidytext import shaping


class Slug(unittest.TestCase):
    def test_accents_are_dropped(self):
        self.assertEqual(shaping.slug("Crème brûlée!"), "creme-brulee")


class Truncate(unittest.TestCase):
    def test_a_short_text_stays(self):
        self.assertEqual(shaping.truncate("short", 10), "short")

    def test_the_result_is_never_longer_than_the_limit(self):
        self.assertLessEqual(len(shaping.truncate("a rather long sentence", 10)), 10)
