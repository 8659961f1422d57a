import {Agent, MCPServerStdio, MCPServerStreamableHttp, OpenAIProvider, Runner} from '@openai/agents';
import {headers, report, test} from './case.mjs';

const server = test.url
  ? new MCPServerStreamableHttp({name: 'sippet', url: test.url, requestInit: {headers}})
  : new MCPServerStdio({name: 'sippet', command: test.command, args: test.args, env: process.env});
await server.connect();
const runner = new Runner({tracingDisabled: true, modelProvider: new OpenAIProvider({apiKey: 'none', baseURL: test.model + '/v1'})});
const {finalOutput} = await runner.run(new Agent({name: 'caller', model: 'stand-in', mcpServers: [server]}), 'Ring them.');
await server.close();
report(finalOutput);
