//go:build tools

// Helm is built from this module so that go.sum pins every byte of it; no code of ours is in it.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
