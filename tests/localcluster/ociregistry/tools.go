//go:build tools

// The registry is built from this module so that go.sum pins every byte of it; no code of ours is in it.
package tools

import _ "github.com/google/go-containerregistry/cmd/crane"
