"""The console: pages for people, rendered here, with small enhancements in the browser."""
