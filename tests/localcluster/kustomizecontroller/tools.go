//go:build tools

// The controller is built from this module so that go.sum pins every byte of it; no code of ours is in it.
package tools

import _ "github.com/fluxcd/kustomize-controller"
