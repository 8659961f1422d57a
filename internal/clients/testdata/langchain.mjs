import {MultiServerMCPClient} from '@langchain/mcp-adapters';
import {createReactAgent} from '@langchain/langgraph/prebuilt';
import {ChatOpenAI} from '@langchain/openai';
import {headers, report, test} from './case.mjs';

const client = new MultiServerMCPClient({
  throwOnLoadError: true,
  mcpServers: {
    sippet: test.url
      ? {transport: 'http', url: test.url, headers}
      : {transport: 'stdio', command: test.command, args: test.args, env: process.env, stderr: 'inherit'},
  },
});
const llm = new ChatOpenAI({model: 'stand-in', apiKey: 'none', maxRetries: 0, configuration: {baseURL: test.model + '/v1'}});
const agent = createReactAgent({llm, tools: await client.getTools()});
const {messages} = await agent.invoke({messages: [{role: 'user', content: 'Ring them.'}]});
await client.close();
report(messages.at(-1).content);
