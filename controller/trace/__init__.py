"""One frame's way through a lab, explained: predicted from compiled tables, by the evaluator itself."""
