"""What is differentiated: noise laws, networks of binary units, objectives, problems."""
