"""A running lab as one page: its picture, what is proven about it, and what is wrong."""
