"""Small Qt parts, pages for figures, and colours."""
