"""Finds out with packets whether a running lab does what the checks of its file say."""
