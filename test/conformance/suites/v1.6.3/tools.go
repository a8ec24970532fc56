// Package suite holds nothing: its go.mod says which version of the suite is built.
package suite

import _ "sigs.k8s.io/gateway-api/conformance"
