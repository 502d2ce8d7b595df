module modelward.io/localcluster/pause

go 1.24.0
