module modelward.io/localcluster/fluxsources

go 1.26.0

require github.com/fluxcd/source-controller v1.7.2
