import unittest

from tidytext import counting


class WordCount(unittest.TestCase):
    def test_words_are_counted(self):
        self.assertEqual(counting.word_count("one two, three"), 3)

    def test_an_apostrophe_does_not_split_a_word(self):
        self.assertEqual(counting.word_count("don't"), 1)

    def test_no_text_has_no_words(self):
        self.assertEqual(counting.word_count(""), 0)


class MostCommon(unittest.TestCase):
    def test_case_does_not_matter(self):
        self.assertEqual(counting.most_common("The cat the dog", 1), ["the"])
