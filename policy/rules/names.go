package rules

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
)

// nameFunctions are sharesWord(a, b).
var nameFunctions = []cel.EnvOption{
	cel.Function("sharesWord", cel.Overload("sharesWord_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			x, ok := a.(types.String)
			y, ok2 := b.(types.String)
			if !ok || !ok2 {
				return types.NewErr("two names are needed, such as current.fullName and input.fullName")
			}
			return types.Bool(recipients.SharesWord(string(x), string(y)))
		}))),
}
