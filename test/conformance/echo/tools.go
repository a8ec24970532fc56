// Package echo holds nothing: its go.mod says which version of the programs of the suite's pods is built.
package echo

import (
	_ "istio.io/istio/pkg/test/echo/cmd/client"
	_ "istio.io/istio/pkg/test/echo/cmd/server"
)
