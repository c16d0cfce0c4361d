"""From a file's specification to a resolved topology: references checked, omissions filled in."""
