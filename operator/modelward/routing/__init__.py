"""Which requests reach which revision: the table of routes, and the two kinds of routers."""
