"""Groovy of Jenkinsfiles, read by npm-groovy-lint, which needs Node 20 and Java (`make check-jenkins`)."""
