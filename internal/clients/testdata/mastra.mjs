import {Agent} from '@mastra/core/agent';
import {MCPClient} from '@mastra/mcp';
import {answer, headers, report, test} from './case.mjs';

const client = new MCPClient({
  id: 'mastra',
  servers: {
    sippet: {
      ...(test.url
        ? {url: new URL(test.url), requestInit: {headers}}
        : {command: test.command, args: test.args, env: process.env, stderr: 'inherit'}),
      ...(test.dialogue && {inputRequests: ({params}) => answer(params)}),
    },
  },
});
const agent = new Agent({
  id: 'caller', name: 'caller', instructions: 'You ring people.', tools: await client.listTools(),
  model: {id: 'openai/stand-in', url: test.model + '/v1', apiKey: 'none'},
});
const {text} = await agent.generate('Ring them.');
await client.disconnect();
report(text);
