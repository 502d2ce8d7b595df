//go:build tools

// Of this module only the CRDs in its config/crd are taken: source-controller itself is not built.
package tools

import _ "github.com/fluxcd/source-controller"
